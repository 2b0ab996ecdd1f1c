{{/* Labels of an object: (dict "root" $ "component" "socket"). Those that select pods are the first two, and never change. */}}
{{- define "watchbell.labels" -}}
{{ include "watchbell.selector" . }}
app.kubernetes.io/part-of: watchbell
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{- define "watchbell.selector" -}}
app.kubernetes.io/name: watchbell
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "watchbell.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What is not secret, for every worker. Names are WATCHBELL__SECTION__KEY; an unknown one stops the worker. */}}
{{- define "watchbell.config" -}}
{{- $config := dict
  "WATCHBELL__HTTP__LISTEN" "0.0.0.0:7700"
  "WATCHBELL__HTTP__OPERATIONS_LISTEN" "0.0.0.0:7709"
  "WATCHBELL__LOG__FORMAT" "json"
  "WATCHBELL__BROKER__URL_FILE" "/etc/watchbell/secrets/broker-url"
  "WATCHBELL__BROKER__DECLARE" "false"
  "WATCHBELL__STORE__URL_FILE" "/etc/watchbell/secrets/store-url" -}}
{{- if or .Values.ingress.enabled .Values.gateway.enabled -}}
{{- $_ := set $config "WATCHBELL__HTTP__TRUSTED_PROXIES" .Values.hosts.trustedProxies -}}
{{- end -}}
{{- with .Values.tracing.endpoint -}}
{{- $_ := set $config "WATCHBELL__TRACING__ENDPOINT" . -}}
{{- end -}}
{{- toYaml (merge (dict) .Values.config $config) -}}
{{- end -}}

{{/* What only `fallback` reads. */}}
{{- define "watchbell.providers" -}}
{{- $config := dict -}}
{{- with .Values.bounces.domain -}}
{{- $_ := set $config "WATCHBELL__EMAIL__BOUNCE_DOMAIN" . -}}
{{- $_ := set $config "WATCHBELL__EMAIL__BOUNCE_LISTEN" "0.0.0.0:2525" -}}
{{- end -}}
{{- toYaml (merge (dict) .Values.providers $config) -}}
{{- end -}}

{{/* Who signs users in, where it is not the Secret `watchbell-auth`. */}}
{{- define "watchbell.signIn" -}}
WATCHBELL__AUTH__JWKS_URL: {{ .Values.signIn.jwksUrl | quote }}
WATCHBELL__AUTH__ISSUER: {{ required "signIn.issuer: without it, tokens of anybody that this service signs for are believed" .Values.signIn.issuer | quote }}
WATCHBELL__AUTH__AUDIENCE: {{ required "signIn.audience: without it, tokens for any other application are believed" .Values.signIn.audience | quote }}
{{- end -}}

{{/* Of each worker: the ConfigMaps it reads, the Secrets it mounts, and the settings that name their files. */}}
{{- define "watchbell.workers" -}}
ingest:
  configs: [watchbell]
  secrets: [{name: secrets, secret: watchbell}]
dispatch:
  configs: [watchbell]
  secrets: [{name: secrets, secret: watchbell}]
socket:
  {{- if .Values.signIn.jwksUrl }}
  configs: [watchbell, watchbell-public, watchbell-signin]
  secrets: [{name: secrets, secret: watchbell}, {name: links, secret: watchbell-links}]
  {{- else }}
  configs: [watchbell, watchbell-public]
  secrets: [{name: secrets, secret: watchbell}, {name: auth, secret: watchbell-auth}, {name: links, secret: watchbell-links}]
  {{- end }}
  env:
    {{- if not .Values.signIn.jwksUrl }}
    - {name: WATCHBELL__AUTH__HS256_SECRET_FILE, value: /etc/watchbell/auth/hs256-secret}
    {{- end }}
    - {name: WATCHBELL__AUTH__UNSUBSCRIBE_SECRET_FILE, value: /etc/watchbell/links/unsubscribe-secret}
    {{- if and .Values.signIn.previousSecret (not .Values.signIn.jwksUrl) }}
    - {name: WATCHBELL__AUTH__HS256_PREVIOUS_SECRET_FILE, value: /etc/watchbell/auth/hs256-previous-secret}
    {{- end }}
fallback:
  configs: [watchbell, watchbell-public, watchbell-providers]
  secrets:
    - {name: secrets, secret: watchbell}
    - {name: links, secret: watchbell-links}
    - {name: providers, secret: watchbell-providers, optional: true}
  env:
    - {name: WATCHBELL__AUTH__UNSUBSCRIBE_SECRET_FILE, value: /etc/watchbell/links/unsubscribe-secret}
{{- end -}}

{{/* Rolls the pods of a worker when what they read changes: (dict "root" $ "facts" its part of watchbell.workers).
     Secrets are looked up in the cluster, so a rendering without one has no checksum of them. */}}
{{- define "watchbell.checksums" -}}
{{- $data := dict
  "watchbell" (include "watchbell.config" .root | fromYaml)
  "watchbell-public" .root.Values.public
  "watchbell-providers" (include "watchbell.providers" .root | fromYaml) -}}
{{- if .root.Values.signIn.jwksUrl -}}
{{- $_ := set $data "watchbell-signin" (include "watchbell.signIn" .root | fromYaml) -}}
{{- end -}}
{{- $read := list -}}
{{- range .facts.configs -}}{{- $read = append $read (get $data .) -}}{{- end -}}
checksum/config: {{ toJson $read | sha256sum }}
{{- $mounted := list -}}
{{- range .facts.secrets -}}
{{- $secret := lookup "v1" "Secret" $.root.Release.Namespace .secret -}}
{{- if $secret -}}{{- $mounted = append $mounted ($secret.data | default dict) -}}{{- end -}}
{{- end -}}
{{- if $mounted }}
checksum/secrets: {{ toJson $mounted | sha256sum }}
{{- end -}}
{{- end -}}

{{- define "watchbell.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "watchbell.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Where a pod may run, and who pulls its image. */}}
{{- define "watchbell.placement" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What everything of ours reaches. */}}
{{- define "watchbell.egress" -}}
# DNS.
- ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
# RabbitMQ, also over TLS, and PostgreSQL.
- ports: [{protocol: TCP, port: 5672}, {protocol: TCP, port: 5671}, {protocol: TCP, port: 5432}]
{{- end -}}

{{- define "watchbell.neededBySetup" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: "-10"
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{- define "watchbell.stepOfSetup" -}}
image: {{ include "watchbell.image" . }}
envFrom:
  - configMapRef: {name: watchbell-setup}
resources:
  requests: {cpu: 100m, memory: 64Mi, ephemeral-storage: 64Mi}
  limits: {memory: 256Mi, ephemeral-storage: 512Mi}
securityContext: {{ include "watchbell.containerSecurity" . | nindent 2 }}
volumeMounts:
  - {name: secrets, mountPath: /etc/watchbell/secrets, readOnly: true}
{{- end -}}
