{{/* What an object for Prometheus or Grafana may have besides its content: a namespace, and what the chart's own values say of it. */}}
{{- define "tradecast.namespace" -}}
{{- with .namespace }}
namespace: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* A monitor in another namespace needs to know where the pods are. */}}
{{- define "tradecast.monitored" -}}
{{- if and .monitor.namespace (ne .monitor.namespace .root.Release.Namespace) }}
namespaceSelector:
  matchNames: [{{ .root.Release.Namespace | quote }}]
{{- end }}
{{- end -}}

{{- define "tradecast.relabelings" -}}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The rules without the alerts that are switched off. Takes (dict "rules" TEXT "disabled" LIST). */}}
{{- define "tradecast.enabledRules" -}}
{{- $disabled := .disabled | default list -}}
{{- if not $disabled -}}
{{- .rules -}}
{{- else -}}
{{- $known := list -}}
{{- $groups := list -}}
{{- range $group := (fromYaml .rules).groups -}}
{{- $kept := list -}}
{{- range $rule := $group.rules -}}
{{- with $rule.alert -}}{{- $known = append $known . -}}{{- end -}}
{{- if not (has ($rule.alert | default "") $disabled) -}}{{- $kept = append $kept $rule -}}{{- end -}}
{{- end -}}
{{- if $kept -}}{{- $groups = append $groups (set (deepCopy $group) "rules" $kept) -}}{{- end -}}
{{- end -}}
{{- range $name := $disabled -}}
{{- if not (has $name $known) -}}
{{- fail (printf "\n\n  prometheusRule.disabled: there is no alert %s. The alerts: %s.\n" $name (uniq $known | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "groups" $groups) -}}
{{- end -}}
{{- end -}}
